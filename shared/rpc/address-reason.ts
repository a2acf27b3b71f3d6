/** Why an address cannot be dialled or listened on, in words: grpc-js and the system have names for it. For messages only. Pure. */

const WORDS: readonly (readonly [pattern: RegExp, words: string])[] = [
  [/ECONNREFUSED/, 'nothing listens there'],
  [/EADDRINUSE/, 'another process listens there'],
  [/EADDRNOTAVAIL/, 'that is no address of this machine'],
  [/EACCES/, 'this user may not listen on that port'],
  [/Name resolution failed|ENOTFOUND|EAI_AGAIN/, 'there is no host of that name, or no name server answers'],
  [/EHOSTUNREACH|ENETUNREACH/, 'no way leads to that host from this machine'],
  [/ETIMEDOUT/, 'that host does not answer'],
  [/ECONNRESET|EPIPE/, 'the connection was cut'],
];

/** @returns `nothing listens there (ECONNREFUSED)`; the text as it is where it says nothing that is known */
export function addressReason(text: string): string {
  for (const [pattern, words] of WORDS) {
    const found = pattern.exec(text);
    if (found !== null) return /^E[A-Z_]+$/.test(found[0]) ? `${words} (${found[0]})` : words;
  }
  return text;
}
