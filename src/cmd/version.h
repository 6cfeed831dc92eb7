/* The one version of all programs. */
#ifndef CMD_VERSION_H
#define CMD_VERSION_H

#define GUREUM_VERSION               "0.1.0"
#define GUREUM_VERSION_TEXT(program) program " (Gureum) " GUREUM_VERSION

#endif
