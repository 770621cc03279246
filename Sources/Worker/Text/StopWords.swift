/// Words that say nothing about what a text is about.
enum StopWords {
    /// Function words of English, with contractions as the tokenizer writes them.
    static let english = Set(
        """
        a about above after again against all also although am an and another any are arent as at be became \
        because been before being below between both but by came can cannot cant come could couldnt did \
        didnt do does doesnt doing dont down during each else etc few for from further get got had hadnt has \
        hasnt have havent having he her here hers herself hes him himself his how however i id if ill im in \
        indeed into is isnt it its itself ive just lets may me might more most much must my myself no nor not \
        now of off on once one only onto or other our ours ourselves out over own same shall she should \
        shouldnt so some such than that thats the their theirs them themselves then there theres these they \
        theyre this those through thus to too under until up upon us very was wasnt we were werent what whats \
        when where whether which while who whom whose why will with within without wont would wouldnt you \
        your youre yours yourself yourselves
        """.split(separator: " ").map(String.init))
}
