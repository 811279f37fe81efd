/* record/scan.h - private to record/: from a page's body to its records. */
#ifndef RECORD_SCAN_H
#define RECORD_SCAN_H

#include "record/record.h"

/* Fills records, count, has_next, next_iterator and scratch of a page that has
 * its body and nothing else. What it allocated before it failed is the page's. */
int scan_page(struct page *pg, struct err *e) MUST_CHECK;

#endif
