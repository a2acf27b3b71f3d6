/** A log line of any length in a bounded one: its beginning says what it is, its end how it went. */

/** A stack of fifty frames has about 6 KiB; a line of a model's own output rarely more. */
export const LOG_MESSAGE_CHARACTERS_MAX = 16 * 1024;

export function shortenMessage(text: string): string {
  const excess = text.length - LOG_MESSAGE_CHARACTERS_MAX;
  if (excess <= 0) return text;
  const half = LOG_MESSAGE_CHARACTERS_MAX / 2;
  return `${text.slice(0, half)}… (${excess} characters left out) …${text.slice(-half)}`.toWellFormed();
}
