/** The name of what stands beside a pruned checkpoint and says what was done to it (docs/provenance.md). */
export const PROVENANCE_FILE = 'secateur.json';
