// What the server tells the page about itself: /console/config.json.

export interface DevToken {
  label: string;
  token: string;
}

export interface Config {
  endpoint: string;
  version: string;
  /** Ready tokens; only `ringfence dev` hands them out. */
  tokens: DevToken[];
}

export async function loadConfig(): Promise<Config> {
  const response = await fetch("/console/config.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`The server answered ${response.status} for /console/config.json.`);
  return (await response.json()) as Config;
}
