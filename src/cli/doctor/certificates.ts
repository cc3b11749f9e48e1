import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { certificateNoticeSeconds } from '../../agent/observation.ts';
import type { Config } from '../../config/schema.ts';
import { identityOf } from '../../swarm/identity.ts';
import { nodeFacts } from '../../swarm/node-facts.ts';
import { loadCertificates, splitPem } from '../../swarm/tls/certificates.ts';
import { certificateNames, memberNames } from '../../swarm/tls/names.ts';
import { createLogger } from '../../telemetry/log.ts';
import { codeOf, isRefused, needsRoot, ok, problem, reasonOf, skipped, splitMend, warning } from './findings.ts';
import type { Check, DoctorContext, Finding } from './types.ts';

const about = 'certificate';
const dayMs = 24 * 3600 * 1000;
const issue =
  'shoal certs issue --dir <folder of ca.key> --name <node> --address <its address>, then put both files in place; agents read them without a restart';
/** Extended key usages (RFC 5280 §4.2.1.12): what both ends of a connection between nodes need. */
const usages = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const;

/** Whether the node can prove to the others who it is. */
export const certificatesCheck: Check = {
  group: 'certificates',
  about,
  boundMs: 5_000,
  run: async (context) => {
    const needless = whyNone(context.config);
    if (needless !== undefined) return [needless];
    const { caFile: ca = '', certFile: certificate = '', keyFile: key = '' } = context.config.p2p.certificates;
    const findings = await Promise.all([
      checkPair({ ca, certificate, key }),
      checkParts({ ca, certificate }, context),
      checkKeyMode(key),
    ]);
    return findings.flat();
  },
};

/** Why there is nothing to check; undefined where there is. */
export function whyNone({ p2p }: Pick<Config, 'p2p'>): Finding | undefined {
  if (p2p.membership.source === 'none') return skipped(about, 'no swarm: p2p.membership.source is none');
  if (p2p.tls === 'off') return skipped(about, 'none is used: p2p.tls is off, the network counts as trusted');
  if (p2p.certificates.certFile !== undefined) return undefined;
  return problem(
    about,
    'none is configured (p2p.certificates), so this node serves others on loopback alone: no other node can reach it',
    'shoal certs init and shoal certs issue make them (docs/transfer.md); p2p.tls: off where the network is trusted',
  );
}

/** What of a certificate matters here. */
export interface CertificateFacts {
  readonly file: string;
  /** Milliseconds since the epoch. */
  readonly from: number;
  readonly to: number;
  /** OIDs; undefined where the certificate is for anything. */
  readonly usages: readonly string[] | undefined;
  readonly names: readonly string[];
}

/** `id`: this node's in the membership; undefined where it is not known. `now`: milliseconds since the epoch. */
export function judgeCertificate(facts: CertificateFacts, id: string | undefined, now: number): Finding[] {
  const findings: Finding[] = [];
  const date = (at: number) => new Date(at).toISOString().slice(0, 10);
  const days = Math.floor((facts.to - now) / dayMs);
  if (now < facts.from) {
    const says = `${facts.file} is valid from ${new Date(facts.from).toISOString()} on, and by this node's clock it is ${new Date(now).toISOString()}`;
    findings.push(
      problem('validity', says, 'timedatectl: is the clock behind? Else wait, or issue another one: shoal certs issue'),
    );
  } else if (facts.to <= now) {
    findings.push(
      problem('validity', `${facts.file} ended on ${date(facts.to)}: the other nodes refuse this one`, issue),
    );
  } else if (facts.to - now < certificateNoticeSeconds * 1000) {
    findings.push(warning('validity', `${facts.file} ends in ${days} days, on ${date(facts.to)}`, issue));
  } else findings.push(ok('validity', `${days} more days, until ${date(facts.to)}`));
  const missing = Object.entries(usages).flatMap(([end, oid]) => (facts.usages?.includes(oid) === false ? [end] : []));
  if (missing.length > 0) {
    const says = `${facts.file} is not for TLS ${missing.join(' and ')}s (extended key usage): nodes are both`;
    findings.push(problem('usage', says, issue));
  } else findings.push(ok('usage', 'for both ends of a connection'));
  if (id === undefined) return findings;
  const named = memberNames(id).some((name) => facts.names.includes(name.toLowerCase()));
  findings.push(
    named
      ? ok('name', `it names ${id}`)
      : warning(
          'name',
          `it names ${facts.names.join(', ') || 'nobody'}, not ${id}, as this node is called in the swarm: nodes that dial it by another name than these refuse it`,
          `${issue.split(',')[0]?.replace('<node>', memberNames(id).at(-1) ?? id)}`,
        ),
  );
  return findings;
}

export function judgeAuthority({ file, to }: Pick<CertificateFacts, 'file' | 'to'>, now: number): Finding[] {
  if (to - now >= 30 * dayMs) return [];
  const when = new Date(to).toISOString().slice(0, 10);
  const mend = 'shoal certs init makes another one; caFile takes both while nodes change over (docs/transfer.md)';
  return to <= now
    ? [problem('authority', `the authority in ${file} ended on ${when}: no node trusts another`, mend)]
    : [warning('authority', `the authority in ${file} ends on ${when}, and with it every node's certificate`, mend)];
}

interface Files {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** As the agent loads them: the three belong together and are valid now. */
async function checkPair(files: Files): Promise<Finding> {
  try {
    const loaded = await loadCertificates({ files, log: createLogger({ name: 'doctor', level: 'silent' }) });
    loaded.close();
    return ok(about, `${files.certificate}, with its key, issued by an authority in ${files.ca}`);
  } catch (error) {
    if (isRefused(error)) return needsRoot(about, `${files.key} is not open to this user`);
    if (codeOf(error) === 'ENOENT') return problem(about, `${reasonOf(error).replace(/^ENOENT: /, '')}`, issue);
    const { says, mend } = splitMend(reasonOf(error), issue);
    return problem(about, says, mend.startsWith('`') ? issue : mend);
  }
}

/** What the agent does not look at, but the other nodes do. */
async function checkParts({ ca, certificate }: Omit<Files, 'key'>, context: DoctorContext): Promise<Finding[]> {
  const now = context.now();
  try {
    const [own, authorities] = await Promise.all([readFile(certificate), readFile(ca)]);
    const parsed = splitPem(authorities).map((text) => factsOf(ca, new X509Certificate(text)));
    // While one authority replaces another there are two: the one that lasts is what counts.
    const lasting = parsed.toSorted((one, other) => other.to - one.to)[0];
    return [
      ...judgeCertificate(factsOf(certificate, new X509Certificate(own)), ownId(context), now),
      ...(lasting ? judgeAuthority(lasting, now) : []),
    ];
  } catch {
    // That they can't be read is said once, above.
    return [];
  }
}

async function checkKeyMode(key: string): Promise<Finding[]> {
  const found = await stat(key).catch(() => undefined);
  if (found === undefined || (found.mode & 0o077) === 0) return [];
  const folder = path.dirname(key);
  const says = `${key} can be read by other users (mode ${(found.mode & 0o777).toString(8)}): they can pass for this node`;
  // Mounted secrets have links and modes of their own, and a folder that is closed is enough.
  const closed = await stat(folder).then(
    ({ mode }) => (mode & 0o007) === 0,
    () => false,
  );
  return closed && (found.mode & 0o007) === 0 ? [] : [warning('key', says, `chmod 600 ${key}`)];
}

function factsOf(file: string, certificate: X509Certificate): CertificateFacts {
  const { validFromDate, validToDate, subjectAltName } = certificate;
  // @types/node has it for a certificate's extended key usages, which older Nodes leave out where there are none.
  const keyUsage: readonly string[] | undefined = certificate.keyUsage;
  return {
    file,
    from: validFromDate.getTime(),
    to: validToDate.getTime(),
    usages: keyUsage,
    names: [...certificateNames({ subjectaltname: subjectAltName ?? '' })],
  };
}

/** This node's id: as the agent that runs has it, else as the configuration makes it out. */
function ownId({ agent, config, environment }: DoctorContext): string | undefined {
  const { p2p } = config;
  if (agent.engine?.swarm !== undefined) return agent.engine.swarm.id;
  try {
    return identityOf(p2p.membership, {
      port: p2p.port,
      role: 'agent',
      configured: p2p.id,
      facts: nodeFacts(environment),
    }).id;
  } catch {
    // The peers' check says what is wrong with it.
    return undefined;
  }
}
