/// What a request has to do with embeddings.
enum EmbeddingRole {
    /// It asks a worker for the vectors of some texts; its params are built by us.
    case question(EmbeddingFetch)
    /// Its caller waits for such a call, and gets the vectors of all its texts.
    case answer(EmbeddingPlan)

    /// Bytes it takes beside the request's own.
    var bytes: Int {
        switch self {
        case .question: 0
        case .answer(let plan): plan.bytes
        }
    }

    var plan: EmbeddingPlan? {
        if case .answer(let plan) = self { return plan }
        return nil
    }

    var fetch: EmbeddingFetch? {
        if case .question(let fetch) = self { return fetch }
        return nil
    }
}

/// What is to be known of a call to a worker when it answers.
final class EmbeddingFetch: Sendable {
    /// The model that it was asked for; nil: its own.
    let model: [UInt8]?
    /// The model is the pool's: what the worker names is the pool's from then on.
    let isOfPool: Bool
    /// Texts.
    let count: Int
    /// Whose vectors they are, when they are for one user only.
    let uid: UInt32?
    /// The generation of the cache in which it was asked; nil: nothing is stored.
    let generation: UInt64?

    init(model: [UInt8]?, isOfPool: Bool, count: Int, uid: UInt32?, generation: UInt64?) {
        self.model = model
        self.isOfPool = isOfPool
        self.count = count
        self.uid = uid
        self.generation = generation
    }
}

/// Where the vectors of one caller's texts come from.
///
///     asked:       a b a c        found: b        asked of the worker: a c
///     places:      ~0 0 ~0 ~1     hits: b's vector
final class EmbeddingPlan: Sendable {
    /// The model that was looked up; nil: none was known.
    let model: [UInt8]?
    /// For each text in the order asked: the place of its vector among the hits, or the complement of its place among
    /// those that a worker is asked for.
    let places: [Int32]
    /// The vectors found, one behind the other, as they lie in memory.
    let hits: [UInt8]
    /// How many those are.
    let hitCount: Int
    /// Whose vectors they are, when they are for one user only; a second question has to repeat it.
    let uid: UInt32?

    init(model: [UInt8]?, places: [Int32], hits: [UInt8], hitCount: Int, uid: UInt32?) {
        self.model = model
        self.places = places
        self.hits = hits
        self.hitCount = hitCount
        self.uid = uid
    }

    var bytes: Int { self.hits.count + self.places.count * MemoryLayout<Int32>.size }

    /// Numbers of each vector found; 0 where none was.
    var hitDimensions: Int { self.hitCount == 0 ? 0 : self.hits.count / 4 / self.hitCount }
}
