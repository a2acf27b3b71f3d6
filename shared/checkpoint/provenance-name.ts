/** Names of what stands beside a pruned checkpoint and says what was done to it (docs/provenance.md). */
export const PROVENANCE_FILE = 'secateur.json';
/** The same for people: a page that is a pure function of the provenance. */
export const REPORT_FILE = 'report.html';
/** The model card: where the Hugging Face Hub, and people, look first. */
export const MODEL_CARD_FILE = 'README.md';
