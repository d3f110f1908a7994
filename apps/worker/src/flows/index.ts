import { enrolling } from '../steps/enrol-agent.ts';
import type { AnyWorkerFlow } from '../world.ts';
import { createAmphora, deleteAmphora } from './amphora.ts';
import { configureAmphora } from './configure-amphora.ts';
import { createLoadBalancer } from './create-load-balancer.ts';
import { deleteLoadBalancer } from './delete-load-balancer.ts';
import { failoverAmphora, failoverLoadBalancer } from './failover.ts';
import { mendAmphora } from './mend-amphora.ts';
import { rotateAmphoraCertificate } from './rotate-certificate.ts';
import { sweepOrphans } from './sweep-orphans.ts';
import { updateLoadBalancer } from './update-load-balancer.ts';
import { vacateAmphora } from './vacate-amphora.ts';

/**
 * Every flow that this worker runs. When the steps or the input of one change, its version is raised, and the old version stays here
 * for one release: workers of two releases run side by side, and each leaves alone what it does not know.
 */
const all: readonly AnyWorkerFlow[] = [
  createLoadBalancer,
  updateLoadBalancer,
  deleteLoadBalancer,
  failoverLoadBalancer,
  createAmphora,
  deleteAmphora,
  failoverAmphora,
  mendAmphora,
  vacateAmphora,
  rotateAmphoraCertificate,
  configureAmphora,
  sweepOrphans,
];

/** Whichever flow meets an agent whose certificate has run out enrols it; the rotation does that by itself. */
export const definitions: readonly AnyWorkerFlow[] = all.map((flow) =>
  flow === rotateAmphoraCertificate
    ? flow
    : {
        ...flow,
        steps: flow.steps.map((step) => ({ ...step, do: (state, context) => step.do(state, enrolling(context)) })),
      },
);
