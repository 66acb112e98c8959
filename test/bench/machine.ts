import { cpus, loadavg, release, totalmem, type } from 'node:os';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory: string;
  readonly node: string;
  readonly kernel: string;
  readonly load: string;
  readonly date: string;
}

export function describeMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: process.version,
    kernel: `${type()} ${release()}`,
    load: loadavg()[0]!.toFixed(2),
    date: new Date().toISOString().slice(0, 10),
  };
}

export function machineLine({ cpu, cores, memory, node, kernel, load, date }: Machine): string {
  return `${cpu}, ${cores} cores, ${memory}; Node ${node}; ${kernel}; load ${load} at the start; ${date}`;
}
