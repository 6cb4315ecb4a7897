// HTTP requests with libcurl, whose variadic calls Swift cannot import. One function makes one request and blocks.
#ifndef SKALA_CCURL_H
#define SKALA_CCURL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *method;          // "GET", "HEAD", "POST", "PUT", "PATCH"
    const char *url;
    const char *const *headers;  // "Name: value", ended by NULL
    int64_t resume_from;         // > 0: asks for a range from there to the end
    int upload_descriptor;       // >= 0: the body is read from here
    int64_t upload_size;
    const uint8_t *body;         // of a POST without an upload: a small one
    size_t body_size;
    void *context;
    // Called with pieces of the body; anything but `size` aborts.
    size_t (*on_body)(const uint8_t *bytes, size_t size, void *context);
    // Called with each header line, the status line among them.
    void (*on_header)(const uint8_t *bytes, size_t size, void *context);
    // Called now and then with the bytes sent; non-zero aborts.
    int (*on_progress)(int64_t sent, void *context);
} ccurl_request;

typedef struct {
    long status;      // of the last answer, 0 without one
    int error;        // CURLcode
    char text[256];   // curl's explanation
} ccurl_result;

// Follows redirects (credentials are not sent on to another host), gives up after 30 s without a connection or with
// less than 100 bytes a second.
void ccurl_perform(const ccurl_request *request, ccurl_result *result);

// Call once, before any thread makes a request.
void ccurl_initialize(void);

#endif
