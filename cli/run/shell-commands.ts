/** Commands that a run names for what comes after it, as they can be typed into a shell. Pure. */

export function formatVerifyCommand(output: string, source: string): string {
  return `npx secateur verify ${shellWord(output)} --source ${shellWord(source)}`;
}

/** What the workers, the engines and the coordinator of the latest job there said: readable after every process is gone. */
export function formatLogsCommand(stateDirectory: string): string {
  return `npx secateur logs --state ${shellWord(stateDirectory)}`;
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
