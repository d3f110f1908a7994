export type { FlowRecord, StepRecord, StopReason } from './flow-row.ts';
export { FLOW_CHANNEL, FLOW_STOP_CHANNEL, Flows } from './flows.ts';
