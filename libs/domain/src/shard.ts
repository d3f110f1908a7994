/** Number of shards that the amphorae are spread over. Source: design section 4. */
export const SHARD_COUNT = 4096;

/**
 * Shard of an amphora: FNV-1a (32 bits) over the lower-case text of its id, modulo 4096. It is part of the contract between
 * heartbeat-udp and health: never change it.
 */
export function shardOf(amphoraId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < amphoraId.length; i++) {
    hash ^= amphoraId.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return (hash >>> 0) % SHARD_COUNT;
}
