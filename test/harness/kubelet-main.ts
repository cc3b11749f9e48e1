import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { parse } from 'yaml';
import { CriClient } from './cri-client.ts';
import { Scope } from './scope.ts';

/**
 * Does with the image service what a kubelet does: ImageFsInfo at its start, without which it ends, then ListImages and
 * ImageFsInfo now and again. Argument: its KubeletConfiguration.
 */
const config = parse(await readFile(process.argv[2] ?? '', 'utf8')) as { imageServiceEndpoint?: string };
const endpoint = config.imageServiceEndpoint ?? 'unix:///run/containerd/containerd.sock';
const client = new CriClient(new Scope(), endpoint.replace(/^unix:\/\//, ''));
if ((await client.imageFileSystems()).length === 0) throw new Error(`${endpoint} names no file system`);
console.log(`kubelet: started with ${endpoint}`);
for (;;) {
  await delay(1000);
  await client.listImages();
  await client.imageFileSystems();
}
