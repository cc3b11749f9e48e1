/** A log line holds no more of a runtime's message than this, in characters. */
const maximumLength = 1024;

/**
 * A runtime's error message as it may stand in a log: without the queries of URLs, which carry signatures of object
 * stores and tokens, and without their user information.
 */
export function loggableMessage(message: string): string {
  // The cut could go through a URL and hide what its rules look for: its last word goes, too.
  const bounded =
    message.length <= 4 * maximumLength ? message : message.slice(0, 4 * maximumLength).replace(/\S*$/, '');
  const clean = bounded
    .replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/"'@]*@/gi, '$1…@')
    .replace(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s"'?]*)\?[^\s"']*/gi, '$1?…');
  return clean.length <= maximumLength ? clean : `${clean.slice(0, maximumLength)}…`;
}
