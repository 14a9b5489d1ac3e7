// Node's fetch: fetch.mjs BASE TOKEN. Node 20 does not read HTTPS_PROXY, so through a proxy this
// client asks for its tunnel itself, as proxy agents do, and speaks TLS inside.
import http from 'node:http';
import https from 'node:https';

const [base, token] = process.argv.slice(2);
const headers = { authorization: `Bearer ${token}` };

function tunnelled(url) {
  const proxy = new URL(process.env.HTTPS_PROXY);
  const { hostname } = new URL(url);
  const path = `${hostname}:443`;
  return new Promise((resolve, reject) => {
    http
      .request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path, headers: { host: path } })
      .on('connect', (answer, socket) => {
        if (answer.statusCode !== 200) return reject(new Error(`CONNECT: ${answer.statusCode}`));
        https
          .get(url, { headers, agent: false, socket, servername: hostname }, async (response) => {
            let text = '';
            for await (const chunk of response) text += chunk;
            resolve({ status: response.statusCode, json: async () => JSON.parse(text) });
          })
          .on('error', reject);
      })
      .on('error', reject)
      .end();
  });
}

const ask = process.env.HTTPS_PROXY ? tunnelled : (url) => fetch(url, { headers });
const response = await ask(`${base}/user`);
console.log(response.status, (await response.json()).login);
