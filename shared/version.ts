/** secateur's own version: told at registration, in provenance and by `--version`. */
import packageJson from '../package.json' with { type: 'json' };

export const VERSION: string = packageJson.version;
