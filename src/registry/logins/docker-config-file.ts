import { stat } from 'node:fs/promises';
import { readTextFile } from '../../read-file.ts';
import { credentialsFromAuthConfig } from '../credentials.ts';
import { type Credentials, RegistryError } from '../types.ts';
import { askHelper } from './credential-helper.ts';
import { type DockerLogin, parseDockerConfig } from './docker-config.ts';
import type { LoginSource } from './types.ts';

/** Bytes. A Kubernetes secret has at most 1 MiB. */
const largestFile = 1024 * 1024;

/** Logins out of a docker config.json. It is read for each: a mounted Secret changes while we run. */
export function dockerConfigFile(file: string): LoginSource {
  return {
    async credentialsFor(registry, { repository = '', signal }) {
      const rule = parseDockerConfig(file, await read(file)).ruleFor(registry, repository);
      if (rule === undefined) return undefined;
      if (rule.kind === 'static') return fromEntry(file, rule.login, registry);
      return askHelper(rule.helper, rule.serverAddress, { signal });
    },
  };
}

function fromEntry(file: string, login: DockerLogin, registry: string): Credentials {
  try {
    const { auth, username, password, identitytoken: identityToken, registrytoken: registryToken } = login;
    const given = { auth, username, password, identityToken, registryToken };
    // An absent field and an undefined one are two things to the type.
    const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    return credentialsFromAuthConfig(present, registry);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    throw new RegistryError('invalid', `${file}: the entry for ${registry}: ${error.message}`, { cause: error });
  }
}

async function read(file: string): Promise<string> {
  try {
    // It names programs that we run: nobody but its owner may choose them.
    const { mode } = await stat(file);
    if ((mode & 0o022) !== 0) throw new Error(`others may write it (mode ${(mode & 0o777).toString(8)}); chmod go-w`);
    return await readTextFile(file, largestFile);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new RegistryError('unauthorized', `registries.logins.dockerConfigFile: ${file} can't be read: ${reason}`);
  }
}
