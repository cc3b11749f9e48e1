import { expect, test } from 'vitest';
import { configureRuntime, startAgent } from '../harness/agent.ts';
import { createAuthority } from '../harness/certificates.ts';
import { startContainerd } from '../harness/containerd.ts';
import { e2eImages, imageContent, startImageRegistry } from '../harness/image-registry.ts';
import { Scope } from '../harness/scope.ts';

test('a layer from an https registry, twenty times the memory tier, comes whole and once', async () => {
  const scope = new Scope();
  try {
    const open = await startImageRegistry(scope, e2eImages);
    const content = await imageContent(open.url, 'large');
    const authority = await createAuthority(scope);
    const tls = await authority.issue('registry', ['IP:127.0.0.1']);
    const { host } = await startImageRegistry(scope, e2eImages, { tls });
    const containerd = await startContainerd(scope);
    const agent = await startAgent(scope, {
      runtimeSocket: containerd.socket,
      memoryTier: 16 * 1024 * 1024,
      registryHosts: { [host]: { plainHttp: false, caFile: authority.certificateFile } },
    });
    await configureRuntime(agent, containerd);
    // containerd itself does not trust this registry: nothing comes without Shoal.
    await agent.cri.pullImage(`${host}/large:v1`);
    expect(await containerd.verifiedContent()).toEqual(content.blobs.map(({ digest }) => digest).sort());
    const { bytes } = await agent.nthPull(1);
    expect(bytes?.origin).toBe(bytes?.image);
  } finally {
    await scope.close();
  }
});
