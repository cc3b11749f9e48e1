import { X509Certificate } from 'node:crypto';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { initAuthority, issueCertificate } from '../../src/swarm/tls/authority.ts';
import { createAuthority } from '../harness/certificates.ts';
import { entry } from '../harness/entry.ts';
import { type RunResult, run, runAnyway } from '../harness/process.ts';
import { Scope } from '../harness/scope.ts';
import { temporaryFolder } from '../harness/temp.ts';

let scope: Scope;
let folder: string;
beforeEach(async () => {
  scope = new Scope();
  folder = await temporaryFolder(scope, 'certs');
});
afterEach(() => scope.close());

const certs = (...args: string[]): Promise<RunResult> =>
  runAnyway([process.execPath, entry, 'certs', ...args], { env: { SHOAL_CONFIG: undefined } });
const file = (name: string): string => path.join(folder, name);
const mode = async (name: string): Promise<string> => ((await stat(file(name))).mode & 0o777).toString(8);

describe('shoal certs', () => {
  test('makes an authority and certificates that OpenSSL takes for both ends of TLS', async () => {
    const made = await certs('init', '--dir', folder);
    expect(made).toMatchObject({ code: 0, stderr: '' });
    expect(made.stdout).toContain(`wrote ${file('ca.crt')}`);
    const names = ['--name', 'node-1', '--address', '10.0.0.5', '--address', 'fd00::5', '--address', 'node-1.example'];
    expect(await certs('issue', '--dir', folder, ...names)).toMatchObject({ code: 0, stderr: '' });
    expect([await mode('ca.key'), await mode('node-1.key')]).toEqual(['600', '600']);

    for (const purpose of ['sslserver', 'sslclient']) {
      const verify = ['-x509_strict', '-CAfile', file('ca.crt'), '-purpose', purpose, file('node-1.crt')];
      expect(await run(['openssl', 'verify', ...verify])).toContain('node-1.crt: OK');
    }
    const certificate = new X509Certificate(await readFile(file('node-1.crt')));
    expect(certificate.subject).toBe('CN=node-1');
    for (const name of ['node-1', 'node-1.example']) expect(certificate.checkHost(name)).toBe(name);
    for (const address of ['10.0.0.5', 'fd00::5']) expect(certificate.checkIP(address)).toBe(address);
    expect(certificate.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(certificate.ca).toBe(false);
  });

  test('prints what it wrote as JSON when asked', async () => {
    const { stdout } = await certs('init', '--dir', folder, '--days', '30', '--output', 'json');
    const { certificate, key, notAfter } = JSON.parse(stdout);
    expect([certificate, key]).toEqual([file('ca.crt'), file('ca.key')]);
    expect(Math.round((Date.parse(notAfter) - Date.now()) / 86_400_000)).toBe(30);
  });

  test('never replaces an authority or a certificate', async () => {
    await initAuthority({ directory: folder });
    const key = await readFile(file('ca.key'));
    const again = await certs('init', '--dir', folder);
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/^shoal: .*ca\.key exists: an authority is there already/);
    expect((await readFile(file('ca.key'))).equals(key)).toBe(true);

    await issueCertificate({ directory: folder, output: folder, name: 'node-1', addresses: [] });
    const reissued = await certs('issue', '--dir', folder, '--name', 'node-1');
    expect(reissued.code).toBe(1);
    expect(reissued.stderr).toMatch(/node-1\.key exists: remove the old one first, or choose another --out/);
  });

  test('leaves no key behind when the certificate cannot be written', async () => {
    await initAuthority({ directory: folder });
    const output = await temporaryFolder(scope, 'out');
    await writeFile(path.join(output, 'node-1.crt'), 'mine');
    expect((await certs('issue', '--dir', folder, '--name', 'node-1', '--out', output)).code).toBe(1);
    expect(await readdir(output)).toEqual(['node-1.crt']);
  });

  test('says what is missing', async () => {
    const { code, stderr } = await certs('issue', '--dir', folder, '--name', 'node-1');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^shoal: .*ca\.crt: .*`shoal certs init` makes an authority/);
  });

  test.each([
    [['issue', '--dir', 'x'], 64, '--name'],
    [['init'], 64, '--dir'],
    [['init', '--dir', 'x', '--secret', 'y'], 64, 'either --dir or --secret'],
    [['init', '--secret', 'y'], 64, '--secret needs --namespace'],
    [['init', '--dir', 'FOLDER', '--days', '0'], 1, "can't be valid for 0 days"],
    [['init', '--dir', 'FOLDER', '--days', 'ten'], 1, "can't be valid for NaN days"],
    [['issue', '--dir', 'FOLDER', '--name', '../node'], 1, "can't be a node's name"],
    [['issue', '--dir', 'FOLDER', '--name', 'a', '--address', '1.2.3.4:5'], 1, 'neither an IP address nor a DNS name'],
  ])('refuses %j', async (args, code, message) => {
    const result = await certs(...args.map((arg) => arg.replace('FOLDER', folder)));
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(message);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('shoal certs issue --renew-before', () => {
  const issue = (days: number, renewBefore: number, ...more: string[]): Promise<RunResult> =>
    certs(
      ...['issue', '--dir', folder, '--name', 'node-1', '--days', String(days)],
      ...['--renew-before', String(renewBefore), ...more],
    );

  test('keeps what serves, and replaces what ends soon, lacks a name or is from another authority', async () => {
    await initAuthority({ directory: folder });
    const now = async (): Promise<string> => readFile(file('node-1.crt'), 'utf8');
    expect((await issue(90, 30)).stdout).toContain(`wrote ${file('node-1.crt')}`);
    const first = await now();
    expect((await issue(90, 30)).stdout).toContain(`kept ${file('node-1.crt')}`);
    expect(await now()).toBe(first);

    expect((await issue(120, 100)).stdout).toContain('wrote');
    const longer = await now();
    expect(longer).not.toBe(first);

    expect((await issue(120, 100, '--address', '10.0.0.5')).stdout).toContain('wrote');
    expect(new X509Certificate(await now()).checkIP('10.0.0.5')).toBe('10.0.0.5');

    await Promise.all(['ca.crt', 'ca.key'].map((name) => rm(file(name))));
    await initAuthority({ directory: folder });
    expect((await issue(120, 100, '--address', '10.0.0.5')).stdout).toContain('wrote');
    expect(await run(['openssl', 'verify', '-CAfile', file('ca.crt'), file('node-1.crt')])).toContain('OK');
    expect(await readdir(folder)).toEqual(['ca.crt', 'ca.key', 'node-1.crt', 'node-1.key']);
    expect(await mode('node-1.key')).toBe('600');
  });

  test('replaces what is no certificate, or not that of the key', async () => {
    await initAuthority({ directory: folder });
    await writeFile(file('node-1.crt'), 'cut off');
    expect((await issue(90, 30)).stdout).toContain('wrote');
    await writeFile(file('node-1.key'), await readFile(file('ca.key')));
    expect((await issue(90, 30)).stdout).toContain('wrote');
    expect(new X509Certificate(await readFile(file('node-1.crt'))).subject).toBe('CN=node-1');
  });

  test('refuses a time that no certificate could satisfy', async () => {
    await initAuthority({ directory: folder });
    expect(await issue(30, 30)).toMatchObject({ code: 1, stderr: expect.stringContaining("can't be renewed 30 days") });
  });
});

describe('an authority', () => {
  test('that ends before the certificate would is refused', async () => {
    await initAuthority({ directory: folder, days: 10 });
    const issue = issueCertificate({ directory: folder, output: folder, name: 'a', addresses: [] });
    await expect(issue).rejects.toThrow(/the authority is valid until .* less than 365 days: lower --days/);
  });

  test('whose key is another is refused', async () => {
    const other = await temporaryFolder(scope, 'other');
    await initAuthority({ directory: folder });
    await initAuthority({ directory: other });
    await writeFile(file('ca.key'), await readFile(path.join(other, 'ca.key')));
    const issue = issueCertificate({ directory: folder, output: folder, name: 'a', addresses: [] });
    await expect(issue).rejects.toThrow('ca.key is not the key of ca.crt');
  });

  test('may be valid beyond 2050, where X.509 writes years in another way', async () => {
    await initAuthority({ directory: folder, days: 20_000 });
    const { certificate } = await issueCertificate({
      directory: folder,
      output: folder,
      name: 'a',
      addresses: [],
      days: 15_000,
    });
    expect(await run(['openssl', 'verify', '-x509_strict', '-CAfile', file('ca.crt'), certificate])).toContain('OK');
  });

  test('of another tool serves as well', async () => {
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file('ca.key')] as const;
    const usage = ['-addext', 'keyUsage=critical,keyCertSign', '-subj', '/CN=cluster/O=x', '-days', '3650'] as const;
    await run(['openssl', 'req', '-x509', ...key, ...usage, '-out', file('ca.crt')]);
    const options = { directory: folder, output: folder, name: 'a', addresses: [] };
    const { certificate } = await issueCertificate(options);
    expect(await run(['openssl', 'verify', '-x509_strict', '-CAfile', file('ca.crt'), certificate])).toContain('OK');
  });

  test('that is only a node is refused', async () => {
    const { issue } = await createAuthority(scope);
    const node = await issue('node');
    await writeFile(file('ca.crt'), await readFile(node.certificateFile));
    await writeFile(file('ca.key'), await readFile(node.keyFile));
    const issued = issueCertificate({ directory: folder, output: folder, name: 'a', addresses: [] });
    await expect(issued).rejects.toThrow("ca.crt is not an authority's certificate");
  });
});
