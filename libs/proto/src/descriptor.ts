import { readFileSync } from 'node:fs';
import { BinaryReader } from '@bufbuild/protobuf/wire';

/** The contract as a `google.protobuf.FileDescriptorSet`, for reflection and for tools that speak any service. */
export function descriptorSet(): Buffer {
  return readFileSync(new URL('../descriptor.binpb', import.meta.url));
}

/** Tag of the only field of a FileDescriptorSet: number 1, length-delimited. */
const FILE_TAG = 10;

/** The same, as one `google.protobuf.FileDescriptorProto` for each file. */
export function descriptorFiles(): Buffer[] {
  const reader = new BinaryReader(descriptorSet());
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    if (reader.uint32() !== FILE_TAG)
      throw new Error('descriptor.binpb is not a FileDescriptorSet. Run nx generate proto.');
    files.push(Buffer.from(reader.bytes()));
  }
  return files;
}
