// Node that runs on: steady.mjs URL. Each request is a connection and a handshake of its own. What this process trusts it read when
// it was started. One line a request: its status, or why there was none.
import https from 'node:https';

const [url] = process.argv.slice(2);
const agent = new https.Agent({ keepAlive: false, maxCachedSessions: 0 });

function ask() {
  return new Promise((resolve) => {
    https
      .get(url, { agent }, (response) => {
        response.resume();
        response.on('end', () => resolve(String(response.statusCode)));
      })
      .on('error', (error) => resolve(`failed: ${error.code ?? error.message}`));
  });
}

for (;;) {
  console.log(await ask());
  await new Promise((resolve) => setTimeout(resolve, 20));
}
