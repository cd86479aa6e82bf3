// Tells Monaco where its workers are: files of this origin, made by build.mjs.
declare const EDITOR_WORKER: string;
declare const JSON_WORKER: string;
declare const GRAPHQL_WORKER: string;

const urls: Record<string, string> = { json: JSON_WORKER, graphql: GRAPHQL_WORKER };

Object.assign(globalThis, {
  MonacoEnvironment: {
    getWorker: (_id: string, label: string) => new Worker(urls[label] ?? EDITOR_WORKER, { name: label }),
  },
});

export {};
