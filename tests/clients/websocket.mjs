// The WebSocket of Node itself: websocket.mjs URL TOKEN. Sends a text and bytes, wants both back.
const [url, token] = process.argv.slice(2);
const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
socket.binaryType = 'arraybuffer';
const blob = new Uint8Array(100_000).map((_, at) => at % 251);
socket.onopen = () => socket.send('hello');
socket.onmessage = ({ data }) => {
  if (data === 'hello') return socket.send(blob);
  if (Buffer.compare(Buffer.from(data), Buffer.from(blob)) !== 0) throw new Error('other bytes came back');
  console.log(`echoed ${data.byteLength} with extensions '${socket.extensions}'`);
  socket.close(1000, 'done');
};
socket.onclose = ({ code }) => process.exit(code === 1000 ? 0 : 1);
socket.onerror = (event) => {
  console.error(event.message ?? event);
  process.exit(1);
};
