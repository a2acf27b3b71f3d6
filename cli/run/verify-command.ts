/** The command that checks a run's output, as it can be typed into a shell. Pure. */

export function formatVerifyCommand(output: string, source: string): string {
  return `npx secateur verify ${shellWord(output)} --source ${shellWord(source)}`;
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
