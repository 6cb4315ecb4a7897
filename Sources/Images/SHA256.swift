import Base
import CCrypto

/// SHA-256 over data that comes in pieces (libcrypto).
final class SHA256 {
    private let context: OpaquePointer

    init() throws(SkalaError) {
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1 else {
            throw SkalaError(.system, "cannot compute SHA-256")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    func update(_ bytes: UnsafeRawBufferPointer) { EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) }

    /// `sha256:…`; nothing may be added afterwards.
    func digest() -> String {
        var bytes = [UInt8](repeating: 0, count: 32)
        EVP_DigestFinal_ex(context, &bytes, nil)
        return "sha256:" + Hexadecimal.encode(bytes)
    }

    static func digest(of bytes: [UInt8]) throws(SkalaError) -> String {
        let hash = try SHA256()
        bytes.withUnsafeBytes { hash.update($0) }
        return hash.digest()
    }
}
