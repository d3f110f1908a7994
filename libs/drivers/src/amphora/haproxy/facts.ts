import { type AmphoraFacts, OCTAVIA_PLATFORM } from '@octavia/domain';
import { z } from 'zod';

export const infoSchema = z.object({
  api_version: z.string(),
  haproxy_version: z.string(),
  keepalived_version: z.string().nullish(),
});

const platform = OCTAVIA_PLATFORM;
/** Only our agent tells what its machine is like; the fields that it leaves out are those of Octavia's image. */
const platformSchema = z.object({
  base_path: z.string().startsWith('/').default(platform.basePath),
  socket_path: z.string().startsWith('/').default(platform.socketPath),
  user: z.string().nullable().default(platform.user),
  log_socket: z.string().nullable().default(platform.logSocket),
  exclusive_bind: z.boolean().default(platform.exclusiveBind),
  strict_limits: z.boolean().default(platform.strictLimits),
  fast_vrrp: z.boolean().default(platform.fastVrrp),
});

export const detailsSchema = z.object({
  cpu_count: z.int().positive().nullish(),
  active_tuned_profiles: z.string().nullish(),
  memory: z.object({ free: z.number(), buffers: z.number(), cached: z.number() }).nullish(),
  platform: platformSchema.default(platformSchema.parse({})),
});

/** What an agent says of itself, as the rendering wants it. Versions stay as they came: `1:2.2.7-1+b2` has an epoch. */
export function factsOf(info: z.infer<typeof infoSchema>, details: z.infer<typeof detailsSchema>): AmphoraFacts {
  const { memory } = details;
  return {
    haproxyVersion: info.haproxy_version,
    keepalivedVersion: info.keepalived_version ?? null,
    apiVersion: info.api_version,
    cpuCount: details.cpu_count ?? null,
    activeTunedProfiles: (details.active_tuned_profiles ?? '').split(/\s+/).filter(Boolean),
    memory: memory ? { free: memory.free, buffers: memory.buffers, cached: memory.cached } : null,
    platform: {
      basePath: details.platform.base_path,
      socketPath: details.platform.socket_path,
      user: details.platform.user,
      logSocket: details.platform.log_socket,
      exclusiveBind: details.platform.exclusive_bind,
      strictLimits: details.platform.strict_limits,
      fastVrrp: details.platform.fast_vrrp,
    },
  };
}
