import Base
import CCurl
import Glibc
import Kernel
import OCI

extension RegistryClient {
    /// Fetches a blob into a file, going on where a broken connection left off, and verifies it.
    ///
    /// - Parameters:
    ///   - size: what the manifest says, in bytes.
    ///   - progress: gets the bytes that are here; false cancels.
    /// - Throws: `.exhausted` without room; `.invalid` for other content; `.unavailable` when the tries are used up.
    func blob(_ digest: String, size: Int64, to path: String, _ progress: @escaping (Int64) -> Bool) throws {
        guard Digest.isValid(digest) else { throw SkalaError(.invalid, "invalid digest '\(digest)'") }
        var tries = DownloadTries()
        while true {
            let (answer, have) = try tryBlob(digest, size: size, to: path, progress)
            var failure: SkalaError?
            if answer.failure == nil,
                answer.status == 200 || answer.status == 206 || (answer.status == 416 && have == size)
            {
                let found = try SHA256Check.digest(ofFile: path)
                if found == digest { return }
                // Bytes were damaged on the way: none of them can be trusted.
                unlink(path)
                failure = SkalaError(
                    .invalid, "verification failed for digest \(digest): what the registry sent has \(found)")
            } else if answer.status == 404 {
                throw SkalaError(
                    .notFound, "blob \(digest) of \(reference.familiar) not found: blob unknown to registry")
            } else if answer.status >= 400, answer.status < 500, answer.status != 429, answer.status != 416 {
                throw self.failure(answer, [], digest)
            }
            guard let pause = tries.next(have: have) else {
                let text = answer.failure ?? "status \(answer.status)"
                throw failure
                    ?? SkalaError(.unavailable, "cannot fetch blob \(digest) after \(tries.count) tries: \(text)")
            }
            usleep(pause)
        }
    }

    /// One request for what is missing of a blob.
    ///
    /// - Returns: the answer, and the bytes that are here then.
    private func tryBlob(
        _ digest: String, size: Int64, to path: String, _ progress: @escaping (Int64) -> Bool
    ) throws -> (answer: HTTPCall.Answer, have: Int64) {
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT)
        let start = Int64(lseek(file.raw, 0, SEEK_END))
        var have = start
        var failure: SkalaError?
        let answer = try authorized(HTTPCall(url: "\(base)/blobs/\(digest)", resumeFrom: start), for: .pull) { call in
            call.perform { status, piece in
                guard status == 200 || status == 206 else { return true }
                if status == 200, start > 0, have == start, lseek(file.raw, 0, SEEK_CUR) == start {
                    // The server does not do ranges: from the beginning.
                    ftruncate(file.raw, 0)
                    lseek(file.raw, 0, SEEK_SET)
                    have = 0
                }
                if size > 0, have + Int64(piece.count) > size {
                    failure = SkalaError(.invalid, "blob \(digest) is larger than its manifest says: \(size) bytes")
                    return false
                }
                var rest = piece[...]
                while !rest.isEmpty {
                    // A disk that becomes full takes a part first, and tells with the next.
                    let count = write(file.raw, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                    if count < 0, errno == EINTR { continue }
                    guard count > 0 else {
                        failure = KernelError("write", path, errno: errno).asSkalaError
                        return false
                    }
                    rest = rest.dropFirst(count)
                }
                have += Int64(piece.count)
                if !progress(have) { failure = SkalaError(.cancelled, "cancelled") }
                return failure == nil
            }
        }
        if let failure { throw failure }
        return (answer, have)
    }
}

/// How often a download that breaks off is tried again: a slow, bad line that brings something each time may go on, one
/// that brings nothing may not.
struct DownloadTries {
    /// Tries in a row that bring nothing new.
    static let fruitlessLimit = 5
    /// Tries in all: a server that gives a byte a time is not served for ever.
    static let limit = 100

    private(set) var count = 0
    private var fruitless = 0
    private var best: Int64 = 0

    /// Counts a try that failed.
    ///
    /// - Parameter have: the bytes that are here after it.
    /// - Returns: microseconds to wait before the next; nil when there shall be none.
    mutating func next(have: Int64) -> UInt32? {
        count += 1
        fruitless = have > best ? 0 : fruitless + 1
        best = max(best, have)
        guard fruitless < DownloadTries.fruitlessLimit, count < DownloadTries.limit else { return nil }
        return UInt32(100_000 << fruitless)
    }
}
