import { ReflectionService } from '@grpc/reflection';
import { descriptorFiles } from '@octavia/proto';

/** Reflection of the named services only: what a process does not serve it does not show. */
export function reflectionService(services: readonly string[]): ReflectionService {
  // The library reads no more of a package than its files.
  const files = { contract: { fileDescriptorProtos: descriptorFiles() } };
  return new ReflectionService(files as never, { services: [...services] });
}
