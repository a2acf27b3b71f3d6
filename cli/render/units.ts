/** The quantities of shared/units.ts, for what the command line prints. */
export { showBytes, showCount, showDuration, showShare, showShort } from '../../shared/units.ts';
