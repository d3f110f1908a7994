const same = (bytes: Buffer): Buffer => bytes;

/** A method that sends back what it was sent. */
export const echoMethod = {
  path: '/octavia.bench.Echo/Echo',
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
} as const;
