#!/usr/bin/python3
"""The proxy itself, with plain sockets on both sides."""
import os
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from proxy import BOTH, TO_CLIENT, TO_TARGET, Proxy  # noqa: E402

PATIENCE = 20


class Target:
    """Takes connections; remembers what each said; says back "<" + what it heard if told."""

    def __init__(self, echo=True):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.echo = echo
        self.heard, self.ended, self.changed = [], [], threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.heard.append(b"")
                self.ended.append(None)
                at = len(self.heard) - 1
            threading.Thread(target=self._serve, args=(s, at), daemon=True).start()

    def _serve(self, s, at):
        end = "eof"
        with s:
            try:
                while True:
                    data = s.recv(4096)
                    if not data:
                        break
                    with self.changed:
                        self.heard[at] += data
                        self.changed.notify_all()
                    if self.echo:
                        s.sendall(b"<" + data)
                if self.echo:
                    s.sendall(b"end")
            except OSError:
                end = "reset"
        with self.changed:
            self.ended[at] = end
            self.changed.notify_all()

    def wait(self, condition):
        with self.changed:
            return self.changed.wait_for(condition, PATIENCE)

    def close(self):
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()


class ProxyTest(unittest.TestCase):
    def setUp(self):
        self.target = Target()
        self.addCleanup(self.target.close)
        self.proxy = Proxy("127.0.0.1", self.target.port)
        self.addCleanup(self.proxy.close)

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.proxy.port), timeout=PATIENCE)
        self.addCleanup(s.close)
        return s

    def say(self, s, text):
        s.sendall(text)
        self.hear(s, b"<" + text)

    def hear(self, s, text):
        got = b""
        while len(got) < len(text):
            piece = s.recv(len(text) - len(got))
            self.assertTrue(piece, "end of file after %r" % got)
            got += piece
        self.assertEqual(got, text)

    def assertReset(self, s):
        with self.assertRaises(ConnectionResetError):
            while s.recv(4096):
                pass
            self.fail("end of file, not a reset")

    def test_passes_bytes_and_ends_on(self):
        s = self.connect()
        big = os.urandom(300000)
        writer = threading.Thread(target=s.sendall, args=(big,))
        writer.start()
        got = b""
        while got.count(b"<") < 1 or len(got) < len(big):
            got += s.recv(65536)
        writer.join()
        s.shutdown(socket.SHUT_WR)
        rest = b""
        while piece := s.recv(65536):
            rest += piece
        self.assertTrue((got + rest).endswith(b"end"))
        self.assertEqual(self.target.heard[0], big)

    def test_refuses_keeps_its_port_and_takes_again(self):
        s = self.connect()
        self.say(s, b"a")
        self.proxy.refuse()
        self.assertReset(s)
        for _ in range(3):
            with self.assertRaises(ConnectionRefusedError):
                self.connect()
        with socket.socket() as other, self.assertRaises(OSError):
            other.bind(("127.0.0.1", self.proxy.port))
        self.proxy.pass_on()
        self.say(self.connect(), b"b")

    def test_cut_resets_both_sides_and_new_ones_pass(self):
        s, t = self.connect(), self.connect()
        self.say(s, b"a")
        self.say(t, b"b")
        self.proxy.cut()
        self.assertReset(s)
        self.assertReset(t)
        self.assertTrue(self.target.wait(lambda: self.target.ended[:2] == ["reset"] * 2),
                        self.target.ended)
        self.say(self.connect(), b"c")

    def test_half_closed_to_the_target(self):
        s = self.connect()
        self.say(s, b"a")
        self.proxy.half_close(TO_TARGET)
        self.hear(s, b"end")
        self.assertEqual(s.recv(1), b"")
        self.assertTrue(self.target.wait(lambda: self.target.ended[0] == "eof"))

    def test_half_closed_to_the_client_still_hears_it(self):
        s = self.connect()
        self.say(s, b"a")
        self.proxy.half_close(TO_CLIENT)
        self.assertEqual(s.recv(1), b"")
        s.sendall(b"more")
        self.assertTrue(self.target.wait(lambda: self.target.heard[0] == b"amore"))

    def test_delay_is_late_and_stops(self):
        s = self.connect()
        self.say(s, b"a")
        self.proxy.delay(0.3, TO_TARGET)
        begun = time.monotonic()
        self.say(s, b"b")
        self.assertGreater(time.monotonic() - begun, 0.29)
        self.proxy.pass_on()
        begun = time.monotonic()
        self.say(s, b"c")
        self.assertLess(time.monotonic() - begun, 0.29)

    def test_stall_takes_and_answers_nothing_until_let_go(self):
        s = self.connect()
        self.say(s, b"a")
        self.proxy.stall()
        t = self.connect()
        s.sendall(b"b")
        t.sendall(b"c")
        s.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            s.recv(1)
        self.assertEqual(self.target.heard[0], b"a")
        s.settimeout(PATIENCE)
        self.proxy.pass_on()
        self.hear(s, b"<b")
        self.hear(t, b"<c")

    def test_stalled_answers_only(self):
        s = self.connect()
        self.proxy.stall(TO_CLIENT)
        s.sendall(b"b")
        self.assertTrue(self.target.wait(lambda: self.target.heard == [b"b"]))
        self.proxy.pass_on()
        self.hear(s, b"<b")

    def test_what_a_client_said_that_gave_up_is_not_said_later(self):
        s = self.connect()
        self.say(s, b"a")
        self.proxy.stall()
        s.sendall(b"b")
        s.close()
        self.assertTrue(self.target.wait(lambda: self.target.ended[0]))
        self.proxy.pass_on()
        self.say(self.connect(), b"c")
        self.assertEqual(self.target.heard[0], b"a")

    def test_cut_after_bytes_to_the_target(self):
        s = self.connect()
        self.say(s, b"12345")
        self.proxy.cut_after(3, TO_TARGET)
        s.sendall(b"abcdef")
        self.assertReset(s)
        self.assertTrue(self.proxy.struck.wait(PATIENCE))
        self.assertTrue(self.target.wait(lambda: self.target.ended[0]))
        self.assertEqual(self.target.heard[0], b"12345abc")
        self.say(self.connect(), b"next")

    def test_cut_after_bytes_of_the_answer(self):
        s = self.connect()
        self.proxy.cut_after(4, TO_CLIENT)
        s.sendall(b"abcdef")
        self.assertReset(s)
        self.assertTrue(self.target.wait(lambda: self.target.ended[0]))
        self.assertEqual(self.target.heard[0], b"abcdef")

    def test_cut_when_the_pattern_is_in_two_pieces(self):
        s = self.connect()
        self.proxy.cut_when(b"COMMIT", TO_TARGET)
        self.say(s, b"BEGIN; COM")
        s.sendall(b"MIT;")
        self.assertReset(s)
        self.assertTrue(self.target.wait(lambda: self.target.ended[0]))
        # The target has it all, and its answer went nowhere.
        self.assertEqual(self.target.ended[0], "eof")
        self.assertEqual(self.target.heard[0], b"BEGIN; COMMIT;")
        self.say(self.connect(), b"COMMIT")

    def test_cut_when_the_answer_comes_and_swallow_it(self):
        s = self.connect()
        self.say(s, b"a")
        self.proxy.cut_when(b"<DONE", TO_CLIENT, passing=False)
        s.sendall(b"DONE")
        with self.assertRaises(ConnectionResetError):
            s.recv(1)
        self.assertTrue(self.target.wait(lambda: self.target.ended[0] == "eof"))
        self.assertEqual(self.target.heard[0], b"aDONE")

    def test_a_target_that_is_not_there_resets(self):
        self.target.close()
        # The reset may be there before connect() has returned.
        with self.assertRaises(ConnectionResetError):
            self.connect().recv(1)

    def test_a_target_that_dies_resets_the_client(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            proxy = Proxy("127.0.0.1", listener.getsockname()[1])
            self.addCleanup(proxy.close)
            s = socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)
            self.addCleanup(s.close)
            t, _ = listener.accept()
            s.sendall(b"x")
            t.recv(1)
            t.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            t.close()
            self.assertReset(s)

    def test_directions_are_two(self):
        self.assertEqual(len(set(BOTH)), 2)
        with self.assertRaises(AssertionError):
            self.proxy.half_close("up")


if __name__ == "__main__":
    unittest.main()
