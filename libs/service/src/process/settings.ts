import { text } from '../settings/fields.ts';

/** Settings of a process that may give root away once it is open; for `runAs`. */
export const processSettings = {
  runAs: text('RUN_AS', {
    default: '',
    doc: 'User that a process started by root becomes once everything is open. Empty: it stays who it is.',
  }),
};
