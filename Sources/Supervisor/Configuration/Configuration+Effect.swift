extension Configuration {
    /// Keys that were set and that this version checks but does not act on. An operator is told at the start:
    /// a limit that is believed in and does not hold is worse than none.
    var keysWithoutEffect: [String] {
        let standard = Configuration()
        var keys: [String] = []
        if self.controlSocket != nil { keys.append("control_socket") }
        keys += self.cache.keysWithoutEffect(standard.cache)
        if self.timeouts.control != standard.timeouts.control { keys.append("timeouts.control") }
        if self.timeouts.streamIdle != standard.timeouts.streamIdle { keys.append("timeouts.stream_idle") }
        if self.timeouts.streamTotal != standard.timeouts.streamTotal { keys.append("timeouts.stream_total") }
        if self.logging.rotateBytes != standard.logging.rotateBytes { keys.append("logging.rotate_bytes") }
        if self.logging.keep != standard.logging.keep { keys.append("logging.keep") }
        return keys
    }
}

extension Configuration.Cache {
    /// What is said of embeddings, of which none are kept.
    fileprivate func keysWithoutEffect(_ standard: Self) -> [String] {
        var keys: [String] = []
        if self.embeddingCacheSize != standard.embeddingCacheSize { keys.append("embedding_cache_size") }
        if self.embeddingCacheBytes != standard.embeddingCacheBytes { keys.append("embedding_cache_bytes") }
        if self.embeddingCacheTTL != standard.embeddingCacheTTL { keys.append("embedding_cache_ttl") }
        if self.embeddingCacheFile != standard.embeddingCacheFile { keys.append("embedding_cache_file") }
        if self.sharedModels != standard.sharedModels { keys.append("shared_models") }
        return keys.map { "cache.\($0)" }
    }
}
