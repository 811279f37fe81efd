/* record/value_priv.h - what value.c shares with the writers in record/. */
#ifndef RECORD_VALUE_PRIV_H
#define RECORD_VALUE_PRIV_H

#include "record/value.h"

/* "S" -> VALUE_S; VALUE_INVALID for what is no type tag. */
enum value_type value_type_of(struct slice raw_tag);
enum value_type value_type_of_letter(char c);

#endif
