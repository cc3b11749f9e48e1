/** Where the API server is, and as whom to speak to it. The values are secrets: they stay out of logs. */
export interface Access {
  /** `https://host:port`, with a path where the API is behind a gateway. */
  readonly server: URL;
  /** PEM. What the server's certificate is checked against; the system's roots when absent. */
  readonly ca: string | undefined;
  /** PEM, both or none. */
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  /** The name in the server's certificate, where it is not the host. */
  readonly serverName: string | undefined;
  /** The server's certificate is not checked. */
  readonly insecure: boolean;
  readonly token: string | undefined;
}

/**
 * Asked before every request: tokens are rotated within the hour and certificates within the year, as files that change.
 * Requests are few (a watch lasts minutes), the files small. Rejects with a `KubernetesError` of kind `configuration`.
 */
export type AccessSource = () => Promise<Access>;
