import Base
import CCurl
import Glibc
import Kernel

/// One HTTP request with libcurl. Blocking.
struct HTTPCall {
    var method = "GET"
    var url: String
    var headers: [String] = []
    /// Bytes that are here already: asks for the rest.
    var resumeFrom: Int64 = 0
    /// A file to send, and its size.
    var upload: (descriptor: Int32, size: Int64)?
    /// A small body of a POST.
    var body: [UInt8] = []

    struct Answer {
        var status: Int
        /// By lower-case name, of the last answer.
        var headers: [String: String]
        /// nil when all went well.
        var failure: String?
    }

    /// What the C callbacks see.
    private final class Context {
        var headers: [String: String] = [:]
        var status = 0
        let onBody: (Int, UnsafeRawBufferPointer) -> Bool
        let onProgress: (Int64) -> Bool

        init(_ onBody: @escaping (Int, UnsafeRawBufferPointer) -> Bool, _ onProgress: @escaping (Int64) -> Bool) {
            self.onBody = onBody
            self.onProgress = onProgress
        }

        func header(_ line: String) {
            if line.hasPrefix("HTTP/") {
                status = line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
                headers = [:]
            } else if let colon = line.firstIndex(of: ":") {
                let value = line[line.index(after: colon)...].split(whereSeparator: \.isWhitespace).joined(
                    separator: " ")
                headers[line[..<colon].lowercased()] = value
            }
        }
    }

    /// Makes the request.
    ///
    /// - Parameters:
    ///   - onBody: gets the status and pieces of the body; false aborts.
    ///   - onProgress: gets the bytes sent, several times a second; false aborts.
    func perform(
        onBody: @escaping (Int, UnsafeRawBufferPointer) -> Bool, onProgress: @escaping (Int64) -> Bool = { _ in true }
    ) -> Answer {
        let context = Context(onBody, onProgress)
        var strings: [UnsafeMutablePointer<CChar>?] = (headers + ["User-Agent: skala"]).map { strdup($0) }
        defer { for string in strings { free(string) } }
        strings.append(nil)
        var result = ccurl_result()
        method.withCString { method in
            url.withCString { url in
                strings.withUnsafeBufferPointer { list in
                    list.withMemoryRebound(to: UnsafePointer<CChar>?.self) { headers in
                        var request = ccurl_request()
                        request.method = method
                        request.url = url
                        request.headers = headers.baseAddress
                        request.resume_from = resumeFrom
                        request.upload_descriptor = upload?.descriptor ?? -1
                        request.upload_size = upload?.size ?? 0
                        request.context = Unmanaged.passUnretained(context).toOpaque()
                        request.on_body = { bytes, size, pointer in
                            guard let pointer else { return 0 }
                            let context = Unmanaged<Context>.fromOpaque(pointer).takeUnretainedValue()
                            let piece = UnsafeRawBufferPointer(start: bytes, count: size)
                            return context.onBody(context.status, piece) ? size : 0
                        }
                        request.on_header = { bytes, size, pointer in
                            guard let pointer else { return }
                            let line = String(
                                decoding: UnsafeRawBufferPointer(start: bytes, count: size), as: UTF8.self)
                            Unmanaged<Context>.fromOpaque(pointer).takeUnretainedValue().header(line)
                        }
                        request.on_progress = { sent, pointer in
                            guard let pointer else { return 1 }
                            return Unmanaged<Context>.fromOpaque(pointer).takeUnretainedValue().onProgress(sent) ? 0 : 1
                        }
                        body.withUnsafeBufferPointer { body in
                            request.body = body.baseAddress
                            request.body_size = body.count
                            ccurl_perform(&request, &result)
                        }
                    }
                }
            }
        }
        let text = withUnsafeBytes(of: result.text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return Answer(status: Int(result.status), headers: context.headers, failure: result.error == 0 ? nil : text)
    }
}
