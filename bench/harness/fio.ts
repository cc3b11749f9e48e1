import { spawnSync } from 'node:child_process';

export interface FioOptions {
  readonly file: string;
  /** Bytes of the file that are used. */
  readonly size: number;
  /** Bytes to be transferred. */
  readonly bytes: number;
  readonly work: 'write' | 'read' | 'randread';
  readonly blockBytes: number;
  readonly depth: number;
  /** Huge pages must have been reserved. */
  readonly hugePages: boolean;
}

/** What one run came to. */
export interface Run {
  /** GB/s (10⁹). */
  readonly speed: number;
  /** CPU seconds, user and system, per GB. */
  readonly cpu: number;
}

interface Job {
  readonly usr_cpu: number;
  readonly sys_cpu: number;
  readonly job_runtime: number;
  readonly read: { readonly io_bytes: number; readonly runtime: number };
  readonly write: { readonly io_bytes: number; readonly runtime: number };
}

/** One run of fio with libaio and O_DIRECT. */
export function runFio({ file, size, bytes, work, blockBytes, depth, hugePages }: FioOptions): Run {
  const options = {
    name: work,
    filename: file,
    size,
    io_size: bytes,
    bs: blockBytes,
    rw: work,
    direct: 1,
    ioengine: 'libaio',
    iodepth: depth,
    iomem: hugePages ? 'shmhuge' : 'malloc',
    randrepeat: 0,
    norandommap: 1,
    'output-format': 'json',
  };
  const args = Object.entries(options).map(([key, value]) => `--${key}=${value}`);
  const { status, stdout, stderr } = spawnSync('fio', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`fio ${args.join(' ')}: ${stderr}`);
  const job = (JSON.parse(stdout) as { jobs: Job[] }).jobs[0];
  if (job === undefined) throw new Error(`fio reported no job: ${stdout}`);
  const { io_bytes, runtime } = work === 'write' ? job.write : job.read;
  const cpu = ((job.usr_cpu + job.sys_cpu) / 100) * (job.job_runtime / 1000);
  return { speed: io_bytes / 1e9 / (runtime / 1000), cpu: cpu / (io_bytes / 1e9) };
}
