import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import {
  type ApiCertificates,
  createApiCertificates,
  type FakeKubernetesApi,
  startKubernetesApi,
} from './kubernetes-api.ts';
import { Scope } from './scope.ts';

/** What a test has: gone when it ends. */
export interface KubernetesTest {
  readonly scope: Scope;
  readonly api: FakeKubernetesApi;
}

/** Gives every test of the file an API server of its own; `begin` is called before each. */
export function kubernetesForEachTest(begin: (test: KubernetesTest) => unknown): void {
  const shared = new Scope();
  let certificates: ApiCertificates;
  let scope: Scope;
  beforeAll(async () => {
    certificates = await createApiCertificates(shared);
  });
  afterAll(() => shared.close());
  beforeEach(async () => {
    scope = new Scope();
    await begin({ scope, api: await startKubernetesApi(scope, certificates) });
  });
  afterEach(() => scope.close());
}
