#include "CCurl.h"

#include <curl/curl.h>
#include <string.h>
#include <unistd.h>

void ccurl_initialize(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

static size_t body(char *bytes, size_t size, size_t count, void *context) {
    const ccurl_request *request = context;
    return request->on_body((const uint8_t *)bytes, size * count, request->context);
}

static size_t header(char *bytes, size_t size, size_t count, void *context) {
    const ccurl_request *request = context;
    request->on_header((const uint8_t *)bytes, size * count, request->context);
    return size * count;
}

static size_t upload(char *bytes, size_t size, size_t count, void *context) {
    const ccurl_request *request = context;
    ssize_t result = read(request->upload_descriptor, bytes, size * count);
    return result < 0 ? CURL_READFUNC_ABORT : (size_t)result;
}

static int progress(void *context, curl_off_t total, curl_off_t now, curl_off_t upload_total, curl_off_t sent) {
    const ccurl_request *request = context;
    (void)total, (void)now, (void)upload_total;
    return request->on_progress(sent, request->context);
}

void ccurl_perform(const ccurl_request *request, ccurl_result *result) {
    memset(result, 0, sizeof *result);
    CURL *handle = curl_easy_init();
    if (!handle) {
        result->error = CURLE_OUT_OF_MEMORY;
        return;
    }
    struct curl_slist *headers = NULL;
    for (const char *const *line = request->headers; *line; line++) headers = curl_slist_append(headers, *line);
    curl_easy_setopt(handle, CURLOPT_URL, request->url);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(handle, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 100L);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, 30L);
    curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, result->text);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(handle, CURLOPT_XFERINFOFUNCTION, progress);
    curl_easy_setopt(handle, CURLOPT_XFERINFODATA, request);
    curl_easy_setopt(handle, CURLOPT_NOPROGRESS, 0L);
    if (!strcmp(request->method, "HEAD")) curl_easy_setopt(handle, CURLOPT_NOBODY, 1L);
    if (request->upload_descriptor >= 0) {
        curl_easy_setopt(handle, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(handle, CURLOPT_READFUNCTION, upload);
        curl_easy_setopt(handle, CURLOPT_READDATA, request);
        curl_easy_setopt(handle, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->upload_size);
    } else if (!strcmp(request->method, "POST")) {
        curl_easy_setopt(handle, CURLOPT_POST, 1L);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, (long)request->body_size);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, request->body_size > 0 ? (const char *)request->body : "");
    }
    if (strcmp(request->method, "HEAD")) curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request->method);
    if (request->resume_from > 0) {
        curl_easy_setopt(handle, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)request->resume_from);
    }
    result->error = curl_easy_perform(handle);
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &result->status);
    if (result->error && !result->text[0]) {
        strncpy(result->text, curl_easy_strerror(result->error), sizeof result->text - 1);
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(handle);
}
