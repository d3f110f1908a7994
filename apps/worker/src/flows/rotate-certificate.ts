import { FLOW_VERSIONS } from '@octavia/flows';
import { rotateCertificate } from '../steps/rotate-certificate.ts';
import type { WorkerFlow } from '../world.ts';

/** Gives the agent of a living amphora a new certificate. */
export const rotateAmphoraCertificate: WorkerFlow<{ readonly amphoraId: string }> = {
  name: 'amphora.rotate_certificate',
  version: FLOW_VERSIONS['amphora.rotate_certificate'],
  steps: [rotateCertificate],
};
