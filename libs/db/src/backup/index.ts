export { backUp } from './back-up.ts';
export { type BackupHeader, BackupUnusable, checkBackupFile } from './backup-file.ts';
export { type RestoreOptions, restore } from './restore.ts';
