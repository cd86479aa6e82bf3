// GraphQL over HTTP for GraphiQL.
import type { Fetcher } from "@graphiql/toolkit";
import { headersOf, type Identity } from "./identity";

// Engines that have it (the type library does not yet) keep a number's digits
// as the server sent them: bigint and numeric columns are shown exactly.
const rawJson = (JSON as { rawJSON?: (text: string) => unknown }).rawJSON;

function parseExactly(text: string): unknown {
  if (!rawJson) return JSON.parse(text);
  const reviver = (_key: string, value: unknown, context?: { source?: string }) =>
    typeof value === "number" && context?.source !== undefined && String(value) !== context.source
      ? rawJson(context.source)
      : value;
  return JSON.parse(text, reviver as (key: string, value: unknown) => unknown);
}

class NoSchema extends Error {}

// GraphiQL shows the errors of a schema request even when a later one, under a
// newer identity, has been answered already; of a request that fails by an
// exception it does not.
function refuseWithoutSchema(answer: unknown): void {
  const { data, errors } = (answer ?? {}) as { data?: unknown; errors?: { message?: unknown }[] };
  if (data) return;
  throw new NoSchema(errors?.map((e) => String(e.message)).join("\n") || "The server sent no schema.");
}

export function createFetcher(endpoint: string, identity: Identity): Fetcher {
  const ours = headersOf(identity);
  return async (params, options) => {
    // A header typed into the headers editor wins over the identity's, whatever its case.
    const headers = new Headers({ Accept: "application/json", "Content-Type": "application/json", ...ours });
    for (const [name, value] of Object.entries(options?.headers ?? {})) headers.set(name, String(value));
    const response = await fetch(endpoint, {
      method: "POST",
      headers,
      credentials: "same-origin",
      body: JSON.stringify(params),
    });
    const body = await response.text();
    try {
      const answer = parseExactly(body);
      if (params.operationName === "IntrospectionQuery") refuseWithoutSchema(answer);
      return answer as never;
    } catch (error) {
      if (error instanceof NoSchema) throw error;
      return { errors: [{ message: `The server answered ${response.status} without JSON.`, body: body.slice(0, 2000) }] } as never;
    }
  };
}
