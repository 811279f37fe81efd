"""A TCP proxy that does to connections what networks and dying servers do.

    proxy = Proxy("127.0.0.1", port)     listens on proxy.port of the loopback
    proxy.refuse()                       until pass_on() says otherwise

A direction is TO_TARGET (what the client says) or TO_CLIENT (the answers). Modes
hold for all connections, those to come as well, until the next pass_on(); the
others strike once:

    pass_on()       as if it were not there (held bytes go on now)
    refuse()        nobody listens; connections that are there are reset
    delay(s)        every piece goes on s seconds late
    stall()         connections are taken, and read; the bytes are held
    cut()           resets every connection, on both sides
    half_close(d)   end of file in that direction; the other goes on
    cut_after(n, d), cut_when(pattern, d): the client loses its connection at that
                    point, once. The target keeps what it was sent, reads to the end
                    of it and acts; its answers go nowhere. struck is set.

Two threads a connection; every call may come from any thread.
"""
import ctypes
import socket
import struct
import threading

import support

TO_TARGET, TO_CLIENT = "to target", "to client"
BOTH = (TO_TARGET, TO_CLIENT)
CHUNK = 1 << 16
_libc = ctypes.CDLL(None, use_errno=True)


def _reset(sock):
    """RST, at once, and whoever is blocked on the socket wakes up. shutdown() would
    send FIN; close() would leave a blocked recv() where it is."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        unspec = struct.pack("H14x", socket.AF_UNSPEC)
        _libc.connect(sock.fileno(), unspec, len(unspec))
    except OSError:
        pass  # closed already


class _Trap:
    """One pending cut: after so many bytes, or at a pattern, in one direction."""

    def __init__(self, direction, count=None, pattern=None, passing=True):
        assert direction in BOTH
        self.direction, self.count = direction, count
        self.pattern, self.passing = pattern, passing

    def strikes(self, connection, data):
        """How many bytes of data still go on, or None to let it all pass."""
        if self.count is not None:
            self.count -= len(data)
            return len(data) + self.count if self.count <= 0 else None
        seen = connection.tail + data
        if self.pattern in seen:
            return len(data) if self.passing else 0
        connection.tail = seen[len(seen) - len(self.pattern) + 1:] if len(self.pattern) > 1 else b""
        return None


class _Connection:
    def __init__(self, proxy, client, target):
        self.proxy, self.client, self.target = proxy, client, target
        self.tail = b""   # where a trap's pattern may have begun
        self.deaf = set()  # directions whose bytes are read and thrown away
        self.pumps = 2
        for direction in BOTH:
            threading.Thread(target=self._run, args=(direction,), daemon=True).start()

    def ends(self, direction):
        return (self.client, self.target) if direction == TO_TARGET else (self.target, self.client)

    def _run(self, direction):
        source, sink = self.ends(direction)
        try:
            self._pump(direction, source, sink)
        except OSError:
            # One side went away with a reset: the other hears of it in the same way.
            if direction not in self.deaf:
                _reset(sink)
        finally:
            self._done()

    def _pump(self, direction, source, sink):
        while True:
            data = source.recv(CHUNK)
            if direction not in self.deaf:
                self.proxy.hold(self, direction, source)
            strike = self.proxy.spring(self, direction, data)
            if strike is not None:
                data = data[:strike]
                # Before the target can answer what goes on now.
                if direction == TO_TARGET:
                    self.deaf.add(TO_CLIENT)
            if direction not in self.deaf:
                if data:
                    sink.sendall(data)
                elif strike is None:
                    sink.shutdown(socket.SHUT_WR)
            if strike is not None:
                self.lose_client()
                self.proxy.struck.set()
            if not data and strike is None:
                return

    def _done(self):
        with self.proxy.changed:
            self.pumps -= 1
            if self.pumps:
                return
            self.proxy.connections.discard(self)
        self.client.close()
        self.target.close()

    def lose_client(self):
        self.deaf.update(BOTH)
        _reset(self.client)
        try:
            self.target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def reset(self):
        self.deaf.update(BOTH)
        _reset(self.client)
        _reset(self.target)

    def half_close(self, direction):
        self.deaf.add(direction)
        try:
            self.ends(direction)[1].shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Proxy:
    def __init__(self, host, port):
        """Listens from here on. The target need not be there yet: a client whose
        connection cannot be handed on is reset."""
        self.target = (host, port)
        self.changed = threading.Condition()
        self.connections = set()
        self.accepted = 0           # connections taken so far
        self.struck = threading.Event()  # cut_after or cut_when has done its work
        self._trap, self._delay, self._stalled = None, {}, ()
        self._refusing = self._closed = False
        self._listen()

    def _listen(self):
        while True:
            self.port = support.server_port()
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                self._listener.bind(("127.0.0.1", self.port))
                self._listener.listen(128)
                break
            except OSError:
                self._listener.close()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    # The rules.

    def pass_on(self):
        with self.changed:
            self._trap, self._delay, self._stalled = None, {}, ()
            if self._refusing:
                self._refusing = False
                self._listener.listen(128)
            self.changed.notify_all()

    def refuse(self):
        with self.changed:
            self._refusing = True
            # Closed to new ones, yet the port stays bound, so that nobody else gets it.
            self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()

    def delay(self, seconds, direction=None):
        with self.changed:
            self._delay = {d: seconds for d in ((direction,) if direction else BOTH)}

    def stall(self, direction=None):
        with self.changed:
            self._stalled = (direction,) if direction else BOTH

    def cut(self):
        with self.changed:
            there = list(self.connections)
            self.changed.notify_all()
        for connection in there:
            connection.reset()

    def half_close(self, direction):
        assert direction in BOTH
        with self.changed:
            there = list(self.connections)
        for connection in there:
            connection.half_close(direction)

    def cut_after(self, count, direction):
        """After count more bytes, over all connections; the one that goes beyond is cut."""
        self._set_trap(_Trap(direction, count=count))

    def cut_when(self, pattern, direction, passing=True):
        """After the piece that completes the pattern; with passing=False before it. To lose
        PostgreSQL's word about a commit that was made: cut_when(b"COMMIT\\0", TO_CLIENT,
        passing=False)."""
        self._set_trap(_Trap(direction, pattern=pattern, passing=passing))

    def _set_trap(self, trap):
        with self.changed:
            self.struck.clear()
            for connection in self.connections:
                connection.tail = b""
            self._trap = trap

    def close(self):
        with self.changed:
            self._closed = True
            self._stalled, self._delay = (), {}
            # Wakes accept() if it listens, and is refused if it does not.
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.changed.notify_all()
        self._thread.join()
        self._listener.close()
        self.cut()

    # What the threads ask.

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                with self.changed:
                    while self._refusing and not self._closed:
                        self.changed.wait()
                    if self._closed:
                        return
                continue
            # Elsewhere, for a target that does not answer must not keep others waiting.
            threading.Thread(target=self._begin, args=(client,), daemon=True).start()

    def _begin(self, client):
        try:
            target = socket.create_connection(self.target, timeout=support.PATIENCE)
        except OSError:
            _reset(client)
            client.close()
            return
        for s in (client, target):
            s.settimeout(None)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.changed:
            late = self._refusing or self._closed
            self.accepted += 1
            connection = _Connection(self, client, target)
            self.connections.add(connection)
        if late:
            connection.reset()

    def hold(self, connection, direction, source):
        """Returns when bytes of this direction may go on."""
        with self.changed:
            if direction in self._delay:
                self.changed.wait(self._delay[direction])
            while direction in self._stalled and direction not in connection.deaf:
                # A client that has given up: what it said is not passed on later.
                if self.changed.wait(0.05) or not _gone(source):
                    continue
                raise ConnectionResetError

    def spring(self, connection, direction, data):
        with self.changed:
            trap = self._trap
            if trap is None or trap.direction != direction or not data or connection.deaf:
                return None
            strike = trap.strikes(connection, data)
            if strike is not None:
                self._trap = None
            return strike


def _gone(sock):
    """Closed or reset by its peer, as far as can be told without reading what it sent."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    established = 1
    return info[0] != established
