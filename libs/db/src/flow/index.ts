export {
  type ClaimedFlow,
  type ClaimRequest,
  FlowQueue,
  type Lease,
  LeaseLost,
  type Renewal,
  type StepRef,
} from './flow-queue.ts';
export type { FlowRecord, StepRecord, StopReason } from './flow-row.ts';
export { FLOW_CHANNEL, FLOW_STOP_CHANNEL, type FlowCount, type FlowFilter, Flows } from './flows.ts';
