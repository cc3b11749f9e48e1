import { ok, problem, skipped, warning } from './findings.ts';
import type { Check, Finding, RegistryAnswer, RegistryAnswers } from './types.ts';

/** Whether registries answer a stranger, as they would answer the agent. */
export const registriesCheck: Check = {
  group: 'registries',
  about: 'registries',
  boundMs: 25_000,
  remote: true,
  run: async ({ registryAnswers, config, agent }, signal) => [
    ...judgeRegistries(await registryAnswers(signal)),
    ...judgeInstances(config.acrInstances.length + config.p2p.registryInstances.length, agent.engine?.acr ?? []),
  ],
};

export function judgeRegistries({ answers, none }: RegistryAnswers): Finding[] {
  if (none !== undefined) return [problem('registries', none.says, none.mend)];
  return answers.flatMap((answer) => [judgeAnswer(answer), ...judgeTokenServer(answer)]);
}

function judgeAnswer(answer: RegistryAnswer): Finding {
  const { registry, url, via, outcome, implied } = answer;
  const where = via === undefined ? url : `${url} by ${via}`;
  const bad = (says: string, mend: string): Finding => {
    // Docker Hub that nobody named may be out of reach on purpose.
    if (implied)
      return warning(
        registry,
        says,
        `name the registries that pods pull from: shoal doctor --registry <host>; else ${mend}`,
      );
    return problem(registry, says, mend);
  };
  const host = new URL(url).hostname;
  switch (outcome.kind) {
    case 'dns':
      return bad(
        `the name can't be resolved: ${outcome.reason}`,
        `getent ahosts ${host}; /etc/resolv.conf has the name servers`,
      );
    case 'connect':
      return bad(
        `no connection to ${where}: ${outcome.reason}`,
        'open the way to it (firewall, route), or set HTTPS_PROXY for shoal.service as for the runtime',
      );
    case 'proxy':
      return bad(
        `the proxy does not let us through to ${url} (${via}): ${outcome.reason}`,
        'mend HTTPS_PROXY, HTTP_PROXY or NO_PROXY of shoal.service (systemctl edit shoal)',
      );
    case 'mirror':
      return bad(
        `the mirror does not let us through to ${url} (${via}): ${outcome.reason}`,
        mirrorMend(answer, outcome.reason),
      );
    case 'tls': {
      // The client's own words come behind those of Node, which are for who writes a program.
      const [says = outcome.reason, ...advice] = outcome.reason.split('; ');
      const mend =
        advice.find((part) => part.includes('registries.hosts')) ??
        `name its CA in registries.hosts."${registry}".caFile; a wrong clock does this, too (see clock)`;
      return bad(`no trust in ${where}: ${says}`, mend.replace('<host>', `"${registry}"`));
    }
    case 'other':
      return bad(`no answer from ${where}: ${outcome.reason}`, `curl --verbose ${url} shows what it says`);
    case 'answered':
      return judgeStatus(answer, where, outcome.status, outcome.milliseconds, bad);
  }
}

function judgeStatus(
  { registry, url }: RegistryAnswer,
  where: string,
  status: number,
  milliseconds: number,
  bad: (says: string, mend: string) => Finding,
): Finding {
  if (status === 200) return ok(registry, `${where} answers (${milliseconds} ms)`);
  if (status === 401)
    return ok(registry, `${where} answers and asks who we are, as it should (401, ${milliseconds} ms)`);
  if (status === 407)
    return bad(
      `the proxy wants a login for ${url} (407)`,
      'put user and password into HTTPS_PROXY of shoal.service (systemctl edit shoal)',
    );
  if (status === 429)
    return warning(
      registry,
      `${where} answers 429: too many requests from this address`,
      'give pods a pull secret, or Shoal a login (registries.logins)',
    );
  if (status >= 500)
    return bad(
      `${where} answers ${status}: it is out of order, or a proxy in front of it is`,
      "look at the registry's own status; pulls of what a node has go on (p2p.authorizationTTL)",
    );
  if (status >= 300 && status < 400)
    return warning(
      registry,
      `${where} redirects (${status}), as registries don't`,
      `curl --verbose ${url}: is a portal or a proxy in between?`,
    );
  return warning(
    registry,
    `${where} answers ${status}: perhaps no registry, or this node may not ask it`,
    `curl --verbose ${url} shows what it says`,
  );
}

/** By the status that a mirror's CONNECT is answered with. */
function mirrorMend({ registry, url, via }: RegistryAnswer, reason: string): string {
  const status = /\((\d{3})\)/.exec(reason)?.[1];
  if (status === '403') {
    const { host } = new URL(url);
    return `a mirror lets through to port 443, and to what its registries.hosts names: put "${host}" there, with plainHttp as here`;
  }
  if (status === '502') return `on the ${via}: shoal doctor --registry ${registry} says why it does not reach it`;
  if (status === '503') return 'the mirror has all the tunnels that it can have: start another mirror';
  return 'see peers below: shoal peers lists the mirrors';
}

function judgeTokenServer({ registry, outcome }: RegistryAnswer): Finding[] {
  if (outcome.kind !== 'answered' || outcome.tokenServer?.failure === undefined) return [];
  const { url, failure } = outcome.tokenServer;
  return [
    problem(
      `${registry}'s tokens`,
      `its token server ${url} is out of reach: ${failure}`,
      `open the way from this node to ${new URL(url).host}: every pull from ${registry} needs it`,
    ),
  ];
}

/** ACR: only the images of instances whose hosts are known are accelerated. */
export function judgeInstances(
  configured: number,
  known: readonly { readonly id: string; readonly hosts: readonly string[]; readonly problem: string | undefined }[],
): Finding[] {
  if (configured > 0 && known.length === 0)
    return [skipped('ACR instances', 'the engine, which knows their hosts, does not run')];
  return known.map(({ id, hosts, problem: reason }) => {
    if (reason === undefined) return ok(id, hosts.join(', '));
    const [says = reason, mend = 'docs/acr.md has what each way of authorization needs'] = reason.split('; ');
    return hosts.length === 0
      ? problem(id, `its hosts are not known, so nothing of it is accelerated: ${says}`, mend)
      : warning(id, `${hosts.join(', ')}, as known before: ${says}`, mend);
  });
}
