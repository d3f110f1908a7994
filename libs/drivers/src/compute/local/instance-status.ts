import { open } from 'node:fs/promises';
import type { Instance } from '../compute-driver.ts';
import { readClaim } from './amphora-processes.ts';
import type { InstanceRecord } from './instance-record.ts';
import type { InstancePaths } from './options.ts';
import { readProcess } from './process-table.ts';

/** Bytes of the end of the agent's output that are shown as its last words. */
const LAST_WORDS_BYTES = 300;

/** What an instance is, as its folder and /proc tell now. */
export async function describeInstance(record: InstanceRecord, paths: InstancePaths): Promise<Instance> {
  const { status, fault } = await statusOf(paths);
  return {
    computeId: `${record.hostId}:${record.amphoraId}`,
    amphoraId: record.amphoraId,
    status,
    fault,
    lbNetworkIp: record.address,
    agentPort: record.agentPort,
    zone: record.zone,
    imageId: record.imageId,
    computeFlavor: record.computeFlavor,
    computeHost: record.hostId,
  };
}

async function statusOf(paths: InstancePaths): Promise<Pick<Instance, 'status' | 'fault'>> {
  const claim = readClaim(paths);
  if (!claim) return { status: 'BUILDING', fault: null };
  const found = claim.identity ? readProcess(claim.identity.pid) : null;
  if (!found || found.startTime !== claim.identity?.startTime) {
    return { status: 'STOPPED', fault: `Its agent ended${await lastWords(paths.output)}` };
  }
  if (found.state === 'T') return { status: 'STOPPED', fault: 'It is suspended; resume continues it.' };
  return { status: 'ACTIVE', fault: null };
}

async function lastWords(output: string): Promise<string> {
  const file = await open(output).catch(() => null);
  if (!file) return '';
  try {
    const { size } = await file.stat();
    const start = Math.max(0, size - LAST_WORDS_BYTES);
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(LAST_WORDS_BYTES), position: start });
    const words = buffer.subarray(0, bytesRead).toString().trim();
    return words ? `, with the words: ${words}` : '';
  } finally {
    await file.close();
  }
}
