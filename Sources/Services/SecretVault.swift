import Base
import CCrypto
import Glibc
import Kernel

/// Seals secrets before they go into the store, with AES-256-GCM and a key that lies in a file of its own.
///
/// The key's file has mode 0600 and is made at first use; a copy of the store alone tells nothing. Sealed bytes are a
/// nonce of 12 bytes, the ciphertext, and a tag of 16; the id of the secret is authenticated with them, so that one
/// cannot be put in another's place.
struct SecretVault {
    private static let keyLength = 32
    private static let nonceLength = 12
    private static let tagLength = 16

    private let key: [UInt8]

    /// - Throws: `.invalid` when the file is no key.
    init(path: String) throws {
        key = try SecretVault.readKey(path) ?? SecretVault.makeKey(path)
        guard key.count == SecretVault.keyLength else {
            throw SkalaError(.invalid, "\(path) holds no key of \(SecretVault.keyLength) bytes")
        }
    }

    /// Nil when there is none yet.
    private static func readKey(_ path: String) throws(KernelError) -> [UInt8]? {
        guard access(path, F_OK) == 0 else { return nil }
        return try FileContents.read(path)
    }

    private static func makeKey(_ path: String) throws(KernelError) -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        let key = (0..<keyLength).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        try FileContents.replace(path, with: key, mode: 0o600)
        return key
    }

    func seal(_ bytes: [UInt8], id: String) throws(SkalaError) -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        let nonce = (0..<SecretVault.nonceLength).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        let context = try Context(key: key, nonce: nonce, encrypts: true)
        try context.authenticate(Array(id.utf8))
        let sealed = try context.process(bytes)
        try context.finish()
        return nonce + sealed + (try context.tag(length: SecretVault.tagLength))
    }

    /// - Throws: `.invalid` when the bytes, their id or the key are not those they were sealed with.
    func open(_ sealed: [UInt8], id: String) throws(SkalaError) -> [UInt8] {
        guard sealed.count >= SecretVault.nonceLength + SecretVault.tagLength else {
            throw SkalaError(.invalid, "secret \(id) in the store is damaged")
        }
        let context = try Context(
            key: key, nonce: Array(sealed.prefix(SecretVault.nonceLength)), encrypts: false)
        try context.authenticate(Array(id.utf8))
        let bytes = try context.process(
            Array(sealed.dropFirst(SecretVault.nonceLength).dropLast(SecretVault.tagLength)))
        do {
            try context.expect(tag: Array(sealed.suffix(SecretVault.tagLength)))
            try context.finish()
        } catch {
            throw SkalaError(.invalid, "secret \(id) cannot be opened: it is damaged, or the key is another one")
        }
        return bytes
    }

    /// One use of the cipher (EVP_EncryptInit(3)).
    private final class Context {
        private let raw: OpaquePointer

        init(key: [UInt8], nonce: [UInt8], encrypts: Bool) throws(SkalaError) {
            guard let raw = EVP_CIPHER_CTX_new() else { throw SkalaError(.exhausted, "no memory for a cipher") }
            self.raw = raw
            try Context.check(EVP_CipherInit_ex(raw, EVP_aes_256_gcm(), nil, key, nonce, encrypts ? 1 : 0))
        }

        deinit { EVP_CIPHER_CTX_free(raw) }

        func authenticate(_ bytes: [UInt8]) throws(SkalaError) {
            var count: Int32 = 0
            try Context.check(EVP_CipherUpdate(raw, nil, &count, bytes, Int32(bytes.count)))
        }

        func process(_ bytes: [UInt8]) throws(SkalaError) -> [UInt8] {
            var output = [UInt8](repeating: 0, count: bytes.count)
            var count: Int32 = 0
            // Nothing at all would count as authenticated data.
            if !bytes.isEmpty { try Context.check(EVP_CipherUpdate(raw, &output, &count, bytes, Int32(bytes.count))) }
            return output
        }

        func finish() throws(SkalaError) {
            var none: [UInt8] = [0]
            var count: Int32 = 0
            try Context.check(EVP_CipherFinal_ex(raw, &none, &count))
        }

        func tag(length: Int) throws(SkalaError) -> [UInt8] {
            var tag = [UInt8](repeating: 0, count: length)
            try Context.check(EVP_CIPHER_CTX_ctrl(raw, EVP_CTRL_AEAD_GET_TAG, Int32(length), &tag))
            return tag
        }

        func expect(tag: [UInt8]) throws(SkalaError) {
            var tag = tag
            try Context.check(EVP_CIPHER_CTX_ctrl(raw, EVP_CTRL_AEAD_SET_TAG, Int32(tag.count), &tag))
        }

        private static func check(_ result: Int32) throws(SkalaError) {
            guard result == 1 else { throw SkalaError(.system, "the cipher AES-256-GCM failed") }
        }
    }
}
