/* filters/key_file.c - see key_file.h. */
#include "filters/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest that can be a key: hexadecimal digits, "\r\n", and one byte to see more. */
#define READ_MOST (2 * KEY_BYTES + 3)

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
decode_hex(struct slice text, char key[KEY_BYTES])
{
	for (size_t i = 0; i < KEY_BYTES; i++) {
		int high = hex_digit(text.p[2 * i]), low = hex_digit(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		key[i] = (char)(high << 4 | low);
	}
	return true;
}

static int
decode(const char *path, struct slice text, char key[KEY_BYTES], struct err *e)
{
	size_t whole = text.n;

	if (text.n == KEY_BYTES) {
		memcpy(key, text.p, KEY_BYTES);
		return 0;
	}
	if (text.n > 2 * KEY_BYTES && text.p[text.n - 1] == '\n') {
		text.n--;
		if (text.p[text.n - 1] == '\r')
			text.n--;
	}
	if (text.n == 2 * KEY_BYTES && decode_hex(text, key))
		return 0;
	return err_set(e, ERR_CONFIG,
	    "key file %.200s: %s%zu bytes%s; it must be 32 bytes, or 64 hexadecimal digits: "
	    "openssl rand -hex 32",
	    path, whole == READ_MOST ? "more than " : "",
	    whole == READ_MOST ? (size_t)READ_MOST - 1 : whole,
	    text.n == 2 * KEY_BYTES ? " that are not all hexadecimal digits" : "");
}

static int
check_mode(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_CONFIG, "key file %.200s: it is not a regular file", path);
	if ((st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
		return err_set(e, ERR_CONFIG,
		    "key file %.200s: others may %s it (mode %03o): chmod 600, or 640 with the "
		    "service's group",
		    path, (st.st_mode & (S_IWGRP | S_IWOTH)) != 0 ? "write" : "read",
		    (unsigned)st.st_mode & 0777u);
	return 0;
}

static int
read_all(int fd, const char *path, char text[READ_MOST], size_t *n, struct err *e)
{
	*n = 0;
	while (*n < READ_MOST) {
		ssize_t got = read(fd, text + *n, READ_MOST - *n);

		if (got == 0)
			return 0;
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return err_set(e, ERR_CONFIG, "key file %.200s: cannot read it: %s", path,
			    strerror(errno));
		*n += (size_t)got;
	}
	return 0;
}

int
key_file_read(const char *path, struct secret *out, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char text[READ_MOST], key[KEY_BYTES];
	size_t n;
	int r;

	if (fd == -1)
		return err_set(e, ERR_CONFIG, "key file %.200s: cannot open it: %s%s", path,
		    strerror(errno),
		    errno == EACCES
			? "; the user slipring runs as must be able to read it: give it "
			  "that user's group and mode 640"
			: "");
	r = check_mode(fd, path, e);
	if (r == 0)
		r = read_all(fd, path, text, &n, e);
	if (r == 0)
		r = decode(path, (struct slice){text, n}, key, e);
	if (r == 0)
		secret_set(out, (struct slice){key, sizeof key});
	(void)close(fd);
	explicit_bzero(text, sizeof text);
	explicit_bzero(key, sizeof key);
	return r;
}
