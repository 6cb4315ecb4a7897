print("skala")
