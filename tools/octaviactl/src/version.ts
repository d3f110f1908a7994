/** Written in by the build, from package.json. */
declare const OCTAVIACTL_VERSION: string | undefined;

/** The version of this command line. */
export const VERSION = typeof OCTAVIACTL_VERSION === 'string' ? OCTAVIACTL_VERSION : '0.0.0-unbuilt';
